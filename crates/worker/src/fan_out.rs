//! Sends the shares of a plan to their lanes and gathers the reports.
