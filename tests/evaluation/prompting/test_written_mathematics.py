"""One reader of written mathematics: whatever form a number is written in, answers and steps read the same."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.evaluation.prompting.arithmetic_steps import check_steps, judge_rationale
from closedbook.evaluation.prompting.number_answers import extract_number
from closedbook.evaluation.prompting.written_mathematics import plain_mathematics, without_thoughts

ANSWERS = [
    (r"\boxed{12{,}000}", 12000),
    (r"\boxed{12,\!000}", 12000),
    (r"\boxed{1\,250}", 1250),
    ("1'234 and 1_000", 1000),
    ("The answer is $9{,}500.", 9500),
    (r"\boxed{2\frac{1}{2}}", Fraction(5, 2)),
    (r"\boxed{-2 \dfrac 1 2}", Fraction(-5, 2)),
    (r"3\tfrac12", Fraction(7, 2)),
    (r"\boxed{\frac{1{,}000}{3}}", Fraction(1000, 3)),
    (r"{3 \over 4}", Fraction(3, 4)),
    ("2 ½ or 2¹⁄₂", Fraction(5, 2)),
    ("3 and 1/2 hours", Fraction(7, 2)),
    ("between 1 and 1/2", Fraction(1, 2)),
    ("<think>Maybe the answer is 5. No, that is wrong.</think>\n7", 7),
    ("maybe 5</think>7", 7),
    ("<think>It is 7.</think>", 7),
    ("<think>Maybe 5", None),
    ("7 <think>hmm 5", 7),
    ("<think>5</think> I do not know.", None),
    ("答案是42。", 42),
    ("答案是42，因为6×7=42，不是43。", 42),
    ("答案是-3。", -3),
    ("答えは４２です。", 42),
    ("一共有１，２３４個", 1234),
    ("第3题得1.5万", 15000),
    ("ราคา42บาท", 42),
    ("คำตอบคือ๔๒", 42),
    ("الجواب ١٬٢٣٤٫٥", Fraction(2469, 2)),
    ("The answer is _18_.", 18),
    ("The answer is ***18***, not 3.", 18),
    ("The answer is `18` <b>eggs</b>", 18),
    ("The answer is: 3 + 4 = **7**", 7),
    ("The answer is 3 apples plus 4 apples = 7 apples of 9", 7),
    (r"The answer is $3 \times 4 = 12$ of 13.", 12),
    ("The answer is 20% of 50 = 10 of 9", 10),
    (r"\boxed{3.0 \times 10^4}", 30000),
    ("1.2 × 10⁻³", Fraction(12, 10000)),
    (r"\boxed{10^{3}}", 1000),
    (r"\boxed{5\text{ cm}^2}", 5),
    ("25 m^2", 25),
    (r"\boxed{90^\circ}", 90),
    (r"\boxed{\$42\%}", 42),
    ("#### Step 1: count\n#### Step 2: add\nThe total is 14", 14),
    ("#### 1. Count\n#### 2. Add\nThe total is 14", 14),
    ("#### \\boxed{36}\n\n8", 36),
    ("## Answer: 12\n\nof 13", 12),
    ("### Final Answer\n\n12 of 13", 12),
    ("<answer>12</answer> of 13", 12),
]
STEPS = [
    r"3 \times 4 = 12",
    r"1{,}200 \times 3 = 3\,600",
    r"\frac{1}{2} \times 8 = 4",
    r"5/\frac{1}{2} = 10",
    r"2\frac{1}{2} \times 2 = 5",
    r"\frac{3 + 4}{7} = 1",
    "3 + 4 = **7** (seven)",
    "3 + 4 = __7__",
    r"3 + 4 = \underline{\mathbf{7}}",
    r"\[ 3 \cdot 4 = \boxed{12} \]",
    r"\left(3 + 4\right) \times 2 = 14",
    "1.2 × 10³ = 1200",
    "1.2e3 * 2 = 2400",
    "共3×4=12个",
    "共有３×４＝１２个",
    "12除以4等于3",
    "٣ × ٤ = ١٢",
    "ราคา3+4=7บาท",
    "3 ⋅ 4 = 12",
    "(3+4)² = 49",
    r"50\% of 80 = 40",
    r"90^\circ - 30^\circ = 60^\circ",
    r"3 \text{ apples} + 4 \text{ apples} = 7",
    "<think>3 + 4 = 8</think> 3 + 4 = 7",
]


@pytest.mark.parametrize(("text", "number"), ANSWERS)
def test_an_answer_is_read_in_the_form_that_a_model_wrote(text, number):
    assert extract_number(text) == number


@pytest.mark.parametrize("text", STEPS)
def test_a_step_is_read_in_the_same_forms(text):
    (step,) = check_steps(text)
    assert step.holds
    assert judge_rationale(text, step.claimed) == "right"


def test_a_power_in_python_is_no_bold_type():
    assert [step.holds for step in check_steps("**2**3 = 8** and 2**3 + 3**2 = 17")] == [True, True]


DIGITS = {"Thai": 0x0E50, "Arabic": 0x0660, "full width": 0xFF10, "bold": 0x1D7CE, "ASCII": 0x30}
FORMS = {
    "plain": lambda n: str(n),
    "LaTeX braces": lambda n: f"{n:,}".replace(",", "{,}"),
    "LaTeX thin space": lambda n: f"{n:,}".replace(",", r"\,"),
    "negative thin space": lambda n: f"{n:,}".replace(",", r",\!"),
    "apostrophe": lambda n: f"{n:,}".replace(",", "'"),
    "narrow space": lambda n: f"{n:,}".replace(",", "\u202f"),
    "fraction": lambda n: rf"\frac{{{2 * n}}}{{2}}",
    "mixed": lambda n: rf"{n}\tfrac{{0}}{{3}}",
    "scientific": lambda n: rf"{n}.0 \times 10^{{0}}",
    **{
        name: lambda n, zero=zero: "".join(chr(zero + int(digit)) for digit in str(n))
        for name, zero in DIGITS.items()
    },
}
DRESSES = [
    "{}",
    "**{}**",
    "__{}__",
    "*{}*",
    "`{}`",
    r"\textbf{{{}}}",
    r"\underline{{\mathbf{{{}}}}}",
    r"\({}\)",
    "<b>{}</b>",
]
DRESSES += [r"\boxed{{{}}}", r"\text{{{} kg}}", "${}", r"\${}", r"{}\%"]


@given(n=st.integers(0, 10**10), form=st.sampled_from(list(FORMS)), dress=st.sampled_from(DRESSES), data=st.data())
def test_any_number_in_any_form_is_read_back_by_both(n, form, dress, data):
    written = dress.format(FORMS[form](n))
    frame = data.draw(
        st.sampled_from(["{}", "The answer is {}.", "答案是{}。", "## Answer: {}", "<think>3</think>{}"])
    )
    assert extract_number(frame.format(written)) == n
    (step,) = check_steps(f"0 + {written} = {n}") if "%" not in dress else check_steps(f"0 + {n} = {n}")
    assert step.holds


@given(st.text(alphabet="0123456789.,{}\\fracboxedtimes$*_^<>/think~`&= ½²²٣３第万\n"))
def test_no_text_makes_it_fail(text):
    assert extract_number(text) is None or isinstance(extract_number(text), Fraction)
    check_steps(text)
    assert isinstance(plain_mathematics(text), str)


def test_text_without_thoughts_is_left_alone():
    assert without_thoughts("a <b> 3 < 4 </b>") == "a <b> 3 < 4 </b>"
