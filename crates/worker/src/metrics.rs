//! Holds every metric name and label, and one function per happening that writes its log line and its metric.
