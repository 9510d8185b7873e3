//! Load, attach, pin, typed maps, sync, expiry: the only place that knows aya.
