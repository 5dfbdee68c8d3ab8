"""Stand-in for a module that the source distribution leaves out."""

# For each field that every configuration has, a value other than its default: a configuration class that
# forgets to hand its arguments on to the base class loses one of them.
config_common_kwargs = {
    "return_dict": False,
    "output_hidden_states": True,
    "output_attentions": True,
    "dtype": "float16",
    "chunk_size_feed_forward": 5,
    "architectures": ["AnyModel"],
    "id2label": {0: "only"},
    "label2id": {"only": 0},
    "problem_type": "regression",
}
