//! Proves that the servers and faults of the tests do what the tests believe.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use quash_e2e::process::Process;
use quash_e2e::{ChaosProxy, Home, Mode, NatsServer, Postgres, RabbitMq, RedisServer, eventually, get};
use redis::AsyncCommands;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);
/// Many times what an answer takes; the tests in which none may come wait this long for it.
const A_WHILE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_durable_redis_comes_back_with_what_it_confirmed() {
    let mut server = RedisServer::durable().await;
    let () = server.connect().await.set("key", "value").await.unwrap();
    server.kill9();
    server.restart().await;
    assert_eq!(server.connect().await.get::<_, String>("key").await.unwrap(), "value");
}

#[tokio::test]
async fn a_rabbitmq_comes_back_on_its_port() {
    let mut server = RabbitMq::start().await;
    server.ctl(&["add_vhost", "shop"]).await;
    server.kill9();
    assert!(TcpStream::connect(server.address()).await.is_err(), "the kill reaches the node, not a script around it");
    server.restart().await;
    assert!(server.ctl(&["list_vhosts"]).await.contains("shop"), "it comes back with what it had stored");
}

#[tokio::test]
async fn what_is_guarded_ends_with_its_process_and_leaves_no_folder() {
    let home = Home::new("guarded");
    let folder = home.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let pid = folder.join("pid");
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ >$PID_FILE; exec sleep 600"]).env("PID_FILE", &pid);
    let mut guarded = Process::guarded("sleep", &home.path().join("sleep.log"), &command, &folder);
    let read = || std::fs::read_to_string(&pid).unwrap_or_default();
    eventually(LIMIT, "it runs", async || read().ends_with('\n')).await;
    let alive = Path::new("/proc").join(read().trim());
    assert!(alive.exists());
    // Its input closes then, as it does when this process ends in any way.
    guarded.kill9();
    assert!(!alive.exists() && !folder.exists());
}

#[tokio::test]
async fn a_nats_server_comes_back_on_its_port() {
    let mut server = NatsServer::start().await;
    server.kill9();
    assert!(TcpStream::connect(server.address()).await.is_err());
    server.restart().await;
    let mut greeting = String::new();
    let stream = TcpStream::connect(server.address()).await.unwrap();
    BufReader::new(stream).read_line(&mut greeting).await.unwrap();
    assert!(greeting.contains("\"jetstream\":true"), "{greeting}");
}

#[tokio::test]
async fn a_cache_comes_back_empty() {
    let mut server = RedisServer::start().await;
    server.fill(&["key".to_owned()]).await;
    assert_eq!(server.count(&["key".to_owned()]).await, 1);
    server.restart().await;
    assert_eq!(server.count(&["key".to_owned()]).await, 0);
}

#[tokio::test]
async fn a_stopped_redis_answers_again_when_it_goes_on() {
    let mut server = RedisServer::start().await;
    let mut connection = server.connect().await;
    server.stop();
    let mut set = Box::pin(connection.set::<_, _, ()>("key", "value"));
    assert!(timeout(A_WHILE, &mut set).await.is_err(), "a stopped server does not answer");
    server.cont();
    set.await.unwrap();
    assert_eq!(server.calls("set").await, 1);
}

#[tokio::test]
async fn a_proxy_passes_cuts_and_passes_again() {
    let server = RedisServer::start().await;
    let proxy = ChaosProxy::before(&server.address()).await;
    let client = redis::Client::open(format!("redis://{}/0", proxy.address())).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = connection.ping().await.unwrap();

    proxy.cut_once();
    eventually(LIMIT, "the cut connection fails", async || connection.ping::<()>().await.is_err()).await;
    let mut fresh = client.get_multiplexed_async_connection().await.unwrap();
    let () = fresh.ping().await.unwrap();

    proxy.set(Mode::Cut);
    assert!(client.get_multiplexed_async_connection().await.is_err());
    proxy.set(Mode::Pass);
    assert!(client.get_multiplexed_async_connection().await.is_ok());
}

#[tokio::test]
async fn a_black_hole_keeps_the_bytes_and_a_delay_hands_them_on_late() {
    let server = RedisServer::start().await;
    let proxy = ChaosProxy::before(&server.address()).await;
    let client = redis::Client::open(format!("redis://{}/0", proxy.address())).unwrap();
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();

    proxy.set(Mode::BlackHole);
    let mut other = connection.clone();
    let mut held = Box::pin(other.set::<_, _, ()>("key", "value"));
    assert!(timeout(A_WHILE, &mut held).await.is_err(), "nothing comes through a black hole");
    assert_eq!(server.count(&["key".to_owned()]).await, 0);
    proxy.set(Mode::Pass);
    held.await.unwrap();
    assert_eq!(server.count(&["key".to_owned()]).await, 1);

    let delay = Duration::from_millis(50);
    proxy.set(Mode::Delay(delay));
    let begun = Instant::now();
    let () = connection.ping().await.unwrap();
    assert!(begun.elapsed() >= 2 * delay, "once there and once back, not {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_postgres_streams_its_changes_as_wal2json() {
    let postgres = Postgres::start().await;
    postgres.psql("create table book (id int primary key, title text)");
    postgres.create_slot("quash");
    postgres.psql("insert into book values (1, 'Walden'); update book set title = 'Emma' where id = 1");

    let (mut streaming, output) = postgres.stream("quash", &["format-version=2", "include-transaction=false"]);
    let output = tokio::process::ChildStdout::from_std(output).unwrap();
    let mut lines = BufReader::new(output).lines();
    for expected in [r#""action":"I","schema":"public","table":"book""#, r#""value":"Emma""#] {
        let line = lines.next_line().await.unwrap().unwrap();
        assert!(line.contains(expected), "{line}");
    }
    streaming.signal("INT");
    assert_eq!(streaming.exit_code(LIMIT).await, 0);
}

#[tokio::test]
async fn a_session_answers_one_query_after_the_other() {
    let postgres = Postgres::start().await;
    postgres.pgbench_done(&["-i", "-s", "1", "-q"], LIMIT).await;
    let mut session = postgres.session();
    for aid in 1..=3 {
        let sql = format!("select aid, abalance from pgbench_accounts where aid = {aid}");
        assert_eq!(session.query(&sql).await, [format!("{aid}|0")]);
    }
    assert_eq!(session.query("select aid from pgbench_accounts where aid < 0").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_page_that_nobody_serves_is_an_error() {
    assert!(get(&format!("127.0.0.1:{}", quash_e2e::process::free_port()), "/").await.is_err());
}
