//! PID 1 inside an nOs machine.
