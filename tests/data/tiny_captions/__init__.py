"""A TFDS data set of twelve plain images, for test_tfds; TFDS wants builders in a package of their own."""
