//! Shows what the endpoint tells, to whom, and what it lets them do.

mod door;
mod letters;
mod site;
mod spoken;
mod work;
