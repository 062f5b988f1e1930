/// Scenarios that are not replayed, and why: what is not built yet, or needs more than one member.
const LEFT_OUT: &[(&str, &str)] = &[
    ("check_alone", "a check that holds is answered here; the reference never answers it"),
    ("ensemble_basic", "needs three members"),
    ("ensemble_four_letter_words", "needs three members"),
    ("ensemble_no_quorum", "needs three members"),
    ("ensemble_readonly", "needs three members"),
    ("ensemble_readonly_local", "needs three members"),
    ("ensemble_session_moved", "needs three members"),
    ("multi_odd", "a multiRead refused as malformed gets an end marker that clients ignore"),
    ("paths_null", "a multi refused for a null path gets an end marker that clients ignore"),
    ("paths_other_ops", "the reference counts the root as its own descendant for an empty path"),
    ("reconfig_disabled_ensemble", "needs three members"),
    ("reconfig_ensemble", "needs three members"),
    ("restart_durability", "restarts the server"),
    ("sequence_wrap", "needs a counter set in the server's snapshot"),
];
