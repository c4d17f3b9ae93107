"""Data: sources of records, the arrays made of them, and batches as functions of (data seed, position).

    source = catalog.open_source("folder:/photos", "train", size=64)            source: what a record is
    transform = examples.CaptionedImage(size=64, tokenizer=tokenizer, context=32)
    loader = Loader(source, batch_size=256, seed=0, transform=transform)        loader: which records, in which order
    batch = loader.batch(position=1000, rows=slice(0, 64))                      only the rows that this host needs

Sources: digits, photos (built in), folder, tfds, records (ArrayRecord, which webdataset converts tars to).

Text goes another way, as many documents make one row and one document many rows:

    corpus = corpora.open_corpus("stdlib", "train")                             corpus: what a document is
    store = tokens.prepare(corpus, tokenizer, cache)                            tokens: encoded once, on disk
    loader = TextLoader([store], (1024,), tokenizer, batch_size=16, length=512, seed=0, fim=0.0)

Corpora: stdlib and instructions (built in), textfiles, tfds_text; mixtures of them.

What a language model is trained further on is small enough for memory, and a row of a batch is a row of a set:

    conversations = conversations.open_conversations("chat:/chats", "train")    rankings and labelled in the same way
    once = DatasetEvalLoader(rows, batch_size=16)                               rowset: rows by number, and loaders

`pipeline`, `text`, `chat`, `preferences`, `prompts` and `classes` put these together, from a config's `data`.
"""
