"""Streams made on the fly: probes of copying and recall, mappings, word problems."""
