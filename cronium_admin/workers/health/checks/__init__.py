"""What doctor looks at, a file a part. A check says what it found; it changes nothing and stores nothing."""
