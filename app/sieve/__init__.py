"""The sieve: drop the records of a Kafka fetch that can't matter before any of them is parsed.

Pure bytes → bytes. Given the record sets of a fetch response and a search for what matters, it gives back record
sets in which everything else is gone and every offset is still accounted for. It knows the record batch format of
Kafka (magic 2), codecs, CRCs and offsets; it knows nothing of rules, events, Faust or this project.
"""

from app.sieve.batch import CorruptBatchError
from app.sieve.inflate import Inflater
from app.sieve.ledger import Ledger
from app.sieve.sift import DeadBatch, Sieve, Sifted

__all__ = ["CorruptBatchError", "DeadBatch", "Inflater", "Ledger", "Sieve", "Sifted"]
