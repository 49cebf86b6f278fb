"""Speed, parity with published code, and reliability, measured side by side."""
