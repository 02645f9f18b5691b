//! Parses YAML into a tree that remembers where each value stands; the only module that knows the parser.
