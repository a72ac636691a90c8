//! HTTP/1.1 as applications use it.
