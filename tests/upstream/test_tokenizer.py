"""transformers' own tests of tokenizers, for the character tokenizer in both its kinds."""

import shutil
import tempfile
import unittest

import pytest
from transformers_tests import ABSENT, FETCHED

from closedbook.modeling.tokenization_char import CharTokenizer, build_char_tokenizer

if not FETCHED.is_dir():
    pytest.skip(ABSENT, allow_module_level=True)

from transformers_tests.test_tokenization_common import TokenizerTesterMixin
from transformers_tests.test_tokenizers_backend_mixin import TokenizersBackendTesterMixin

SAMPLE = TokenizerTesterMixin.integration_test_input_string
# every character that the tests write, but for one emoji that they mean to be unknown
ALPHABET = [*map(chr, range(32, 127)), "\n\t", "ăâîŞşţ", SAMPLE]


class CharTokenizerTests(TokenizersBackendTesterMixin, TokenizerTesterMixin):
    tokenizer_class = CharTokenizer
    rust_tokenizer_class = CharTokenizer
    test_tokenizer_from_extractor = False
    integration_expected_tokens = list(SAMPLE)
    integration_expected_decoded_text = SAMPLE
    unknown = None

    @classmethod
    def setUpClass(cls):
        cls.tmpdirname = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.tmpdirname, ignore_errors=True)
        tokenizer = build_char_tokenizer(ALPHABET, unknown=cls.unknown)
        tokenizer.save_pretrained(cls.tmpdirname)
        # this folder instead of checkpoints on the Hub
        cls.from_pretrained_id = [cls.tmpdirname]
        cls.tokenizers_list = [(CharTokenizer, cls.tmpdirname, {})]
        cls.integration_expected_token_ids = [tokenizer.get_vocab()[character] for character in SAMPLE]

    def test_alignment_methods(self):
        """The library's own version counts words between spaces; here every character is a word."""
        text = "Wonderful no inspiration example with subtoken"
        encoding = self.get_rust_tokenizer()([text, text])
        for place, character in enumerate(text):
            self.assertEqual(encoding.char_to_token(1, place), place)
            self.assertEqual(encoding.token_to_word(1, place), place)
            self.assertEqual(tuple(encoding.token_to_chars(1, place)), (place, place + 1))
            self.assertEqual(encoding.tokens(1)[place], character)


class char_tokenizer_unknown_is_mask(CharTokenizerTests, unittest.TestCase):
    unknown = "mask"


class char_tokenizer_unknown_is_error(CharTokenizerTests, unittest.TestCase):
    unknown = "error"

    def test_training_new_tokenizer(self):
        """Ends with a character that the new tokenizer has never seen, which this kind refuses by name."""
        with self.assertRaisesRegex(ValueError, "not in the vocabulary: '🤗'"):
            super().test_training_new_tokenizer()

    def test_training_new_tokenizer_with_special_tokens_change(self):
        with self.assertRaisesRegex(ValueError, "not in the vocabulary: '🤗'"):
            super().test_training_new_tokenizer_with_special_tokens_change()
