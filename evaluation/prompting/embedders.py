"""Texts as vectors of length 1, so that their dot product says how near they are: TF-IDF, or any encoder.

TF-IDF (Sparck Jones 1972) compares words and needs no model; an encoder, such as a small sentence encoder (Reimers
and Gurevych 2019), also finds questions that speak of the same in other words.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import scipy  # whose parts are imported when they are used
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from closedbook.evaluation.answering.stock_models import from_pretrained

BATCH_SIZE = 64  # texts read at once; it changes speed and memory only


class Embedder(Protocol):
    """Whatever turns texts into vectors; see `TfidfEmbedder` and `EncoderEmbedder`."""

    def embed(self, texts: Sequence[str]) -> "np.ndarray | scipy.sparse.csr_matrix":
        """`(num_texts, size)`, dense or sparse; rows of length 1, or all zero for a text without content."""
        ...


class TfidfEmbedder:
    """Word counts weighted by how rare a word is in `corpus`; the default, because it needs no model.

    Words are letters and digits in a row, of any length, case and accents aside. No list of stop words,
    so that it serves any language; in a large corpus words that most texts hold weigh little by themselves.

    Args:
        corpus: The texts whose words are known and counted, usually the questions of the pool.

    Raises:
        ValueError: If there is no word in the corpus.
        ModuleNotFoundError: Without scikit-learn.
    """

    def __init__(self, corpus: Sequence[str]):
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("TF-IDF needs scikit-learn: pip install closedbook[icl]") from error
        self._vectorizer = TfidfVectorizer(strip_accents="unicode", token_pattern=r"(?u)\b\w+\b")
        try:
            self._vectorizer.fit(corpus)
        except ValueError as error:
            raise ValueError(f"none of the {len(corpus)} texts of the corpus holds a word: {error}") from error

    def embed(self, texts: Sequence[str]) -> "scipy.sparse.csr_matrix":
        """`(num_texts, num_words)`, sparse; a text of unknown words is all zero."""
        return scipy.sparse.csr_matrix(self._vectorizer.transform(texts))


class EncoderEmbedder:
    """Mean of an encoder's last hidden states over the tokens of a text, scaled to length 1.

    That is how most sentence encoders were trained; one that was trained on its first token's state works less
    well. Texts longer than the encoder can read are cut. What was embedded is remembered, since a sweep asks for
    the same pool again and again.

    Args:
        folder: A model folder with its tokenizer, or a name on the Hub. Weights are read as float32. Code that
            comes with a model is not run.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If it needs code of its own, is no encoder, or cannot pad.
    """

    def __init__(self, folder: str | Path):
        remedy = (
            "--trust_remote_code is not offered for encoders: choose one whose architecture transformers has, "
            "such as a BERT"
        )
        try:
            config = from_pretrained(AutoConfig, folder, remedy=remedy)
            tokenizer = from_pretrained(AutoTokenizer, folder, remedy=remedy)
            if config.is_encoder_decoder or tokenizer.pad_token is None:
                lack = "has a decoder as well" if config.is_encoder_decoder else "has no pad token"
                raise ValueError(f"{folder} {lack}: give an encoder, such as a BERT or a sentence encoder")
            model = from_pretrained(AutoModel, folder, remedy=remedy, config=config, dtype=torch.float32)
        except OSError as error:
            raise FileNotFoundError(
                f"{folder} is no encoder: give a folder with config.json, weights and tokenizer ({error})"
            ) from error
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
        self._model, self._tokenizer = model.to(device).eval(), tokenizer
        self._longest = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", 10**6))
        self._embedded: dict[tuple[str, ...], np.ndarray] = {}

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """`(num_texts, hidden_size)` in float32.

        The last bits of a row depend on the texts that it was padded with, so on the whole list; on nothing else.
        """
        key = tuple(texts)
        if key not in self._embedded:
            self._embedded[key] = self._embed(key)
        return self._embedded[key]

    @torch.no_grad()
    def _embed(self, texts: tuple[str, ...]) -> np.ndarray:
        vectors = np.zeros((len(texts), self._model.config.hidden_size), dtype=np.float32)
        by_length = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # little padding in a batch
        for begin in range(0, len(texts), BATCH_SIZE):
            rows = by_length[begin : begin + BATCH_SIZE]
            batch = self._tokenizer(
                [texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=self._longest,
                return_tensors="pt",
            ).to(self._model.device)
            states = self._model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
            means = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            vectors[rows] = torch.nn.functional.normalize(means, dim=-1).cpu().numpy()
        return vectors
