"""Questions with demonstrations or steps in the prompt."""
