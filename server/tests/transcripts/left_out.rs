//! What is not built yet, and so not replayed.

/// A recording, and what is missing to replay it. One that can be replayed fails the test.
pub(crate) const LEFT_OUT: &[(&str, &str)] =
    &[("reconfig_ensemble", "members cannot be changed while they run")];
