"""transformers' own tests of models, configurations, training and tensor parallelism, for every architecture.

A line in the table of variants (`tests/modeling/`) gives an architecture a class of tests here, under the
variant's name. `skips.py` explains each test that skips itself.
"""

import unittest
from unittest.mock import patch

import pytest
from transformers import set_seed
from transformers.models.auto import modeling_auto
from transformers_tests import ABSENT, FETCHED
from variant_tester import VariantTester
from variants import VARIANTS, Variant

if not FETCHED.is_dir():
    pytest.skip(ABSENT, allow_module_level=True)

from transformers_tests import test_modeling_common, test_tensor_parallel_mixin
from transformers_tests.generation.test_utils import GenerationTesterMixin
from transformers_tests.test_configuration_common import ConfigTester
from transformers_tests.test_modeling_common import ModelTesterMixin
from transformers_tests.test_tensor_parallel_mixin import TensorParallelTesterMixin
from transformers_tests.test_training_mixin import TrainingTesterMixin

# the library spares all but a few of its own families the tests that start processes
test_tensor_parallel_mixin.TP_DISTRIBUTED_TEST_MODEL_TYPES = None

# of all tests that concern attention, those that look at its weights
LOOK_AT_WEIGHTS = (
    "test_attention_outputs",
    "test_model_outputs_equivalence",
    "test_retain_grad_hidden_states_attentions",
)


def soften_norms(config):
    """Damp rounding errors between attention implementations, as the library does for its own models.

    Its function sets this constant under the names of every family, and our configurations refuse to load
    fields that they do not have.
    """
    config.layer_norm_eps = 1.0


class VariantTests(ModelTesterMixin, GenerationTesterMixin, TrainingTesterMixin):
    """The mixins of every architecture; a subclass names its `variant`."""

    model_tester = None
    variant = None
    test_can_init_all_missing_weights_before_2023 = True  # the library spares old models this test

    @classmethod
    def setUpClass(cls):
        """For its tests, the architecture stands in the library's tables, as one of its own does.

        Without that, the tests take it for a model without labels, and leave out everything about the loss.
        """
        super().setUpClass()
        cls.enterClassContext(patch.object(test_modeling_common, "set_config_for_less_flaky_test", soften_norms))
        tester = VariantTester(None, cls.variant)
        for table, model_class in (
            (modeling_auto.MODEL_MAPPING_NAMES, tester.base_model_class),
            (modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, tester.causal_lm_class),
        ):
            cls.enterClassContext(patch.dict(table, {cls.variant.config_class.model_type: model_class.__name__}))

    def setUp(self):
        set_seed(0)
        self.model_tester = VariantTester(self, self.variant)
        self.has_attentions = self.variant.has_attentions or self._testMethodName not in LOOK_AT_WEIGHTS
        self.all_model_classes = (self.model_tester.base_model_class, self.model_tester.causal_lm_class)
        self._torch_compile_train_cls = self.model_tester.causal_lm_class

    def test_config(self):
        tester = ConfigTester(self, config_class=self.variant.config_class, **self.variant.fields)
        tester.run_common_tests()

    def test_num_layers_is_small(self):
        """At most 3: a Perceiver has three kinds of layers."""
        self.assertLessEqual(self.model_tester.num_hidden_layers, 3 if self.model_tester.is_perceiver else 2)

    def test_attention_outputs(self):
        """As everywhere, but the first layer of a Perceiver asks with latents, not with every token."""
        self.model_tester.encoder_seq_length = self.model_tester.num_queries_of_first_layer()
        self.model_tester.key_length = self.model_tester.seq_length
        super().test_attention_outputs()


def make_test_case(variant: Variant) -> type[unittest.TestCase]:
    """Tensor parallelism starts processes, half a minute a variant: for those of the fast suite only."""
    mixins = (VariantTests, TensorParallelTesterMixin) if variant.everywhere else (VariantTests,)
    return type(variant.name, (*mixins, unittest.TestCase), {"variant": variant, "__module__": __name__})


globals().update({variant.name: make_test_case(variant) for variant in VARIANTS})
