"""Samples and scores with a trained language model: a run, or a directory in the Hugging Face layout."""

import sys

import gen

model = gen.load(sys.argv[1])
print(model.generate("def main(", max_new_tokens=16, temperature=0.7)[0].text)
print(model.score([("import ", "os"), ("import ", "xx")])[0].log_p)
