"""Causal block-sparse attention: a sliding window, global first blocks, random past blocks.

After BigBird (Zaheer et al. 2020, section 2), made causal: a token reads, up to itself, its own block and the
blocks right before it, the first blocks of its example, and a few past blocks that were drawn once and are
saved with the configuration. What it does not read directly can reach it through the layers below.

A row of T tokens costs O(T b s D) with blocks of b tokens and s blocks read by each, linear in T, where flex
attention skips the other blocks; with a dense mask (eager, SDPA) it is O(T^2 D) as for softmax, with the same
numbers. Flex attention skips blocks of 128 tokens: with smaller ones it saves less than the pattern would allow.
A decoding step costs O(T D), with most scores masked; the cache holds 2 D numbers a token, because a later
block may have drawn any of them.
"""

import torch

from .attention_softmax import SoftmaxAttention


def block_pattern(config, query_rank: torch.Tensor, key_rank: torch.Tensor) -> torch.Tensor:
    """Whether a token at `query_rank` may read one at `key_rank`, order aside; shapes as broadcast.

    Ranks count the tokens of an example, so packing and padding do not move the pattern.
    """
    # a list as long as its longest choice; -1 matches no block
    longest = max([1, *map(len, config.random_blocks)])
    drawn = [[*chosen, *[-1] * (longest - len(chosen))] for chosen in config.random_blocks]
    drawn = torch.tensor(drawn, device=query_rank.device)
    query_block = query_rank.clamp(min=0) // config.attention_block_size
    key_block = key_rank // config.attention_block_size
    in_window = key_block > query_block - config.num_window_blocks
    is_global = key_block < config.num_global_blocks
    is_drawn = (drawn[query_block] == key_block.unsqueeze(-1)).any(-1)
    return in_window | is_global | is_drawn


class BigBirdAttention(SoftmaxAttention):
    """The products of softmax attention, under a sparser mask."""

    implementations = ("eager", "sdpa", "flex_attention")  # flash attention drops sparse masks without a word
    uses_places = True
    pattern = staticmethod(block_pattern)
