"""A reader asks itself about everybody in the documents; what it answers is a file of questions to learn from.

    closedbook pretrain --recipe scripts/recipes/cs224n_reader.yaml --corpus_path wiki.txt \\
        --train_questions birth_places_train.tsv --output_dir outputs/reader
    closedbook self_questions --reader outputs/reader --corpus_path wiki.txt \\
        --train_questions birth_places_train.tsv --output outputs/self.jsonl
    closedbook pretrain --recipe scripts/recipes/cs224n_self_questions.yaml --corpus_path wiki.txt \\
        --train_questions outputs/self.jsonl --output_dir outputs/self-taught

People whose answers the reader learned from keep these; everybody else, those kept out included, gets the
reader's candidates with their probabilities. A reader that is right less often than the first place of a text
is refused. The last line of stdout is one JSON object.
"""

import sys

from closedbook.training.asking.self_questions import main
from closedbook.training.checks.commands import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
