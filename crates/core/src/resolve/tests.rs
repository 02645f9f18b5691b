//! Shows what events ask for: rules and events as JSON, actions as short lines.
