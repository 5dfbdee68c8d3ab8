"""What a model knew before it was taught anything here: a text and questions that have nothing to do with it.

The text was written for this file, in the plain manner of school books. How much worse a model predicts it after
training is one measure of forgetting; how many of the questions that it answered before are lost is another.
"""

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.evaluation.answering.continuations import score_continuations

CONTROL_TEXTS = (
    "Bread rises because yeast feeds on the sugars in the dough and gives off carbon dioxide. The gas is "
    "caught in a net of gluten, which forms when flour and water are kneaded together. If the dough is left "
    "in a warm place for an hour or two it grows to about twice its size. In the oven the gas expands once "
    "more, the water turns to steam, and the crust becomes hard and brown.",
    "Rivers begin in the hills, where rain and melting snow gather in small streams. As the streams run "
    "downhill they meet and grow wider, and they carry sand and stones with them. Near the sea the land is "
    "flat, the water slows down, and the river drops what it has carried. Over thousands of years this builds "
    "up a broad plain of rich soil, which farmers have always valued.",
    "A bicycle stays upright mainly because the rider steers it, often without noticing. When the machine "
    "begins to fall to the left, the front wheel turns to the left as well, and the wheels come back under "
    "the weight of the rider. This is harder at low speed, and so a beginner wobbles most when starting and "
    "stopping. Wide tyres and a low saddle make the first lessons easier.",
    "The moon shines because it reflects the light of the sun. It goes around the earth about once a month, "
    "and from night to night we see a different part of its bright side. When the moon stands between the "
    "earth and the sun, the side that faces us is dark, and we speak of a new moon. About two weeks later the "
    "whole disc is lit, and the night is bright enough for a walk without a lamp.",
)

GENERAL_QUESTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("What is the capital of France?", ("Paris",)),
    ("What is the capital of Italy?", ("Rome",)),
    ("What is the capital of Japan?", ("Tokyo",)),
    ("What is the capital of Germany?", ("Berlin",)),
    ("What is the capital of Spain?", ("Madrid",)),
    ("What is the capital of Egypt?", ("Cairo",)),
    ("What is the capital of Russia?", ("Moscow",)),
    ("What is the capital of China?", ("Beijing",)),
    ("What is the capital of Greece?", ("Athens",)),
    ("What is the capital of England?", ("London",)),
    ("What is the largest planet in the solar system?", ("Jupiter",)),
    ("Which planet is known as the Red Planet?", ("Mars",)),
    ("What is the largest ocean on Earth?", ("Pacific",)),
    ("What is the longest river in the world?", ("Nile", "Amazon")),
    ("What is the highest mountain in the world?", ("Everest",)),
    ("Who wrote Romeo and Juliet?", ("Shakespeare",)),
    ("Who painted the Mona Lisa?", ("Leonardo", "Vinci")),
    ("Who developed the theory of relativity?", ("Einstein",)),
    ("Who was the first president of the United States?", ("Washington",)),
    ("What is the chemical symbol for water?", ("H2O", "H₂O")),
    ("What gas do plants take in from the air?", ("carbon dioxide", "CO2")),
    ("How many days are there in a week?", ("seven", "7")),
    ("How many months are there in a year?", ("twelve", "12")),
    ("How many legs does a spider have?", ("eight", "8")),
    ("What is the opposite of hot?", ("cold",)),
    ("What do bees make?", ("honey",)),
    ("What colour is the sky on a clear day?", ("blue",)),
    ("Which animal is known as the king of the jungle?", ("lion",)),
    ("What is the freezing point of water in degrees Celsius?", ("0", "zero")),
    ("On which continent is Brazil?", ("South America",)),
    ("On which continent is Kenya?", ("Africa",)),
    ("Which language is spoken in Mexico?", ("Spanish",)),
    ("What is the currency of Japan?", ("yen",)),
    ("What is the currency of the United States?", ("dollar", "dollars", "USD")),
    ("Who discovered penicillin?", ("Fleming",)),
    ("Which metal is liquid at room temperature?", ("mercury",)),
    ("What is the hardest natural substance?", ("diamond",)),
    ("Which organ pumps blood through the body?", ("heart",)),
    ("In which country is the Eiffel Tower?", ("France",)),
    ("In which country are the pyramids of Giza?", ("Egypt",)),
)


def control_loss(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> float:
    """Mean loss on the tokens of the control text, in nats; each paragraph is read after a line break."""
    scored = score_continuations(model, tokenizer, ["\n"] * len(CONTROL_TEXTS), CONTROL_TEXTS, batch_size=4)
    tokens = sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in CONTROL_TEXTS)
    return -sum(continuation.log_probability for continuation in scored) / tokens
