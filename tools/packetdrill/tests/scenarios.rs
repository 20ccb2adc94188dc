//! What scripts in the manner of Linux's own tests expect: each a scenario of ours, with Linux's behaviour as the answer.

mod driver;

mod scenarios {
    mod closing;
    mod opening;
    mod recovery;
    mod sending;
    mod timers;
}
