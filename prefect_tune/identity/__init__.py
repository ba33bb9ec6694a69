"""Identity: digests of values, data and code, and the keys and seeds made of them.

Rules:

1. Soundness before hits. Two values share a digest only if they provably give bit-identical results; a
   miss costs time, a false hit is a wrong number.
2. Own encoding, typed and length-prefixed, hashed with BLAKE3-256 (`encode`). Foreign hashes, `repr`, `id`
   and pickles are never identity.
3. Fail closed. A value of unknown type raises `Uncacheable(path, reason)`; there is no fallback.
4. Types match exactly; a subclass is refused unless registered.
5. Data is fingerprinted in a canonical form, and the caller goes on with that form (`data.fingerprint`).
6. Code counts: a class or function is its distribution and version if installed, else a digest of
   everything it reaches (`code`).
7. A key is role, own identity and upstream keys (`keys`); a seed is a digest too (`seeds`). Neither holds a
   position, a clock or a counter.
8. The encoding is versioned by its tags and domains. Changing one means a new version of its domain, and
   the pinned vectors in the tests say so.

Nothing is re-exported here: import the module that is needed, so that planning stays light.
"""
