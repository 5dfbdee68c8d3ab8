"""The token mixers by the names that a configuration's `attention` gives them."""

from .attention_bigbird import BigBirdAttention
from .attention_linformer import LinformerAttention
from .attention_softmax import SoftmaxAttention
from .attention_synthesizer import DenseSynthesizerAttention, RandomSynthesizerAttention

TOKEN_MIXERS = {
    "softmax": SoftmaxAttention,
    "synthesizer_dense": DenseSynthesizerAttention,
    "synthesizer_random": RandomSynthesizerAttention,
    "linformer": LinformerAttention,
    "bigbird": BigBirdAttention,
}
