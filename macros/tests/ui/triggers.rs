use longshore_workflow::{TriggerError, TriggerResult, trigger};

#[trigger(cron = "0 6 * * *")]
async fn nobody() {}

#[trigger(on = "w")]
async fn never() {}

#[trigger(on = "w", cron = "0 6 * * *", poll_interval = "5s")]
async fn both() {}

#[trigger(on = "w", cron = "6 o'clock")]
async fn words() {}

#[trigger(on = "w", cron = "0 0 31 2 *")]
async fn thirty_first_of_february() {}

#[trigger(on = "w", cron = "0 25 * * *")]
async fn hour_25() {}

#[trigger(on = "w", cron = "0 6 * * *", timezone = "Europe/Berln")]
async fn no_zone() {}

#[trigger(on = "w", poll_interval = "5 seconds")]
async fn interval() -> Result<TriggerResult, TriggerError> {
    Ok(TriggerResult::Skip)
}

#[trigger(on = "w", poll_interval = "5s", timezone = "UTC")]
fn not_async(_n: u32) {}

#[trigger(on = "w", cron = "0 6 * * *", name = "acme/nightly")]
async fn of_a_tenant() {}

fn main() {}
