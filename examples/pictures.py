"""Draws pictures of a caption with a trained stack, and saves one with the record that replays it."""

import sys

import gen

stack = gen.load(sys.argv[1])
pictures = stack.draw("a seven in red ink", num=2, decoder={"guidance_scale": 2.0})
pictures[0].save(sys.argv[2])
