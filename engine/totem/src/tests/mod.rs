//! Tests of the small parts; whole machines are tested in `tests/` beside `src/`.

mod clique;
mod flow;
mod rotation;
mod window;
