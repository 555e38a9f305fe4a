//! The simulator's own proof: it finds nothing in the queue as it is, finds each mistake that is put in, and reaches
//! everything it claims to try.

mod fairness;
mod plants;
mod seeds;
