"""Signed decisions: DSSE envelopes with Ed25519, as CloudEvents' extension `dssematerial` carries them."""
