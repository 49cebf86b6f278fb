"""Which example is trained on when: a pure function of seed, epoch and position."""
