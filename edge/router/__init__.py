"""The edge router: receives what modalities send, keeps it safe, sends it on."""
