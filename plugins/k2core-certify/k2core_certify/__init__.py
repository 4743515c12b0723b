"""Is a decoder lossless? `k2 certify` samples, tests and writes a certificate; the hook `certified` requires one."""
