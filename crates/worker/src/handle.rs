//! The whole flow of a batch on one screen: resolve, fan out, decide, settle.
