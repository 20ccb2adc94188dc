//! The demo's step with mailboxes: ben leaves jobs in a box at anna's, and finds the answers in another.

use super::peer::PATIENCE;
use super::stage::{ANNA, Held, Stage, words};
use tapstack::net::Host;
use tapstack_mailbox::{
    Address, BoxName, BoxOptions, Client, Kind, Message, Office, OfficeOptions, PORT, ReaderOptions, ReplyTo,
    SenderOptions, Transport,
};

/// Jobs that ben leaves.
const JOBS: u64 = 3;

/// Effectively once, over UDP, answers told apart by their correlation.
pub(super) async fn letters(stage: &Stage) -> Result<Held, String> {
    let [jobs, answers] = ["jobs", "answers"].map(BoxName::new);
    let (jobs, answers) = (jobs.map_err(words)?, answers.map_err(words)?);
    let office = Office::open(&stage.anna, &OfficeOptions::default()).await.map_err(words)?;
    for (name, kind) in [(&jobs, Kind::Mailbox), (&answers, Kind::Port)] {
        office.create(name, &BoxOptions { kind, ..BoxOptions::default() }).map_err(words)?;
    }
    let working = stage.anna.spawn(work(office.client(), jobs.clone()));
    let asking = stage.ben.timeout(PATIENCE, ask(&stage.ben, &jobs, &answers)).await;
    working.abort();
    asking.map_err(|_| "took too long".to_owned())??;
    Ok(Held::new(format!("{JOBS} jobs left in {jobs}@{ANNA}, {JOBS} answers found, each once")))
}

/// Answers what is in a box, in capitals, for ever.
async fn work(client: Client, jobs: BoxName) -> Result<(), String> {
    let reader = client.reader(&jobs, ReaderOptions::default()).await.map_err(words)?;
    loop {
        let job = reader.recv().await.map_err(words)?;
        if let Some(ReplyTo { address: Some(answers), correlation }) = &job.message.reply_to {
            let body = job.message.body.to_ascii_uppercase();
            let reply_to = Some(ReplyTo { address: None, correlation: *correlation });
            let sender = client.sender(&answers.name, SenderOptions::default());
            sender.send(Message { reply_to, ..Message::new(body) }).await.map_err(words)?;
        }
        reader.ack(&job);
    }
}

/// Leaves jobs, and compares the answers with them.
async fn ask(ben: &Host, jobs: &BoxName, answers: &BoxName) -> Result<(), String> {
    let address = Address { name: answers.clone(), host: Stage::at(ANNA, PORT) };
    let client = Client::new(ben, Transport::Udp, address.host).map_err(words)?;
    let sender = client.sender(jobs, SenderOptions::default());
    for correlation in 0..JOBS {
        let reply_to = Some(ReplyTo { address: Some(address.clone()), correlation });
        sender
            .send(Message { reply_to, ..Message::new(format!("job {correlation}")) })
            .await
            .map_err(words)?;
    }
    let reader = client.reader(answers, ReaderOptions::default()).await.map_err(words)?;
    for correlation in 0..JOBS {
        let answer = reader.recv().await.map_err(words)?;
        let expected = ReplyTo { address: None, correlation };
        if answer.message.reply_to != Some(expected) || answer.message.body != format!("JOB {correlation}") {
            return Err(format!("job {correlation} was answered by {answer:?}"));
        }
        reader.ack(&answer);
    }
    reader.flush().await;
    Ok(())
}
