//! One probe, once.

use super::{
    connection::connect,
    http,
    spec::{Action, Probe},
};
use tokio::time::timeout;

/// Tries what a probe asks for. The error says, in a few words, why it failed.
pub async fn attempt(Probe { action, timing, .. }: &Probe) -> Result<(), String> {
    let tried = async {
        match action {
            Action::Connect(target) => connect(target).await.map(drop),
            Action::Get(request) => http::get(request).await,
            Action::Impossible(why) => Err(why.clone()),
        }
    };
    let in_time = timeout(timing.timeout, tried).await;
    in_time.unwrap_or_else(|_| Err(format!("no answer within {} s", timing.timeout.as_secs_f32())))
}
