//! Every statement, by name: one file where both dialects can speak it, two of the same name where they differ.
//!
//! The list is closed so that a test can prepare each on its engine and compare it with the folder. Deliberately
//! absent: SQL made from strings at run time.

/// A statement in both dialects; the same text when one will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sql {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

macro_rules! file {
    (common $name:literal) => {
        Sql {
            sqlite: include_str!(concat!("../sql/common/", $name, ".sql")),
            postgres: include_str!(concat!("../sql/common/", $name, ".sql")),
        }
    };
    (both $name:literal) => {
        Sql {
            sqlite: include_str!(concat!("../sql/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../sql/postgres/", $name, ".sql")),
        }
    };
}

macro_rules! statements {
    ($($constant:ident = $place:ident $name:literal,)*) => {
        $(pub(crate) const $constant: Sql = file!($place $name);)*

        /// All of them, with where they are.
        #[cfg(test)]
        const ALL: &[(&str, &str, Sql)] = &[$((stringify!($place), $name, $constant),)*];
    };
}

statements! {
    EVENTS_APPEND = both "events/append",
    EVENTS_LAST = common "events/last",
    EVENTS_OF_RUN = common "events/of_run",
    EVENTS_OF_TENANT = common "events/of_tenant",
    EVENTS_RESERVE = common "events/reserve",
    FINISHED_BACK = both "finished/back",
    FINISHED_DEAD = common "finished/dead",
    FINISHED_GET = common "finished/get",
    FINISHED_HOLD = both "finished/hold",
    FINISHED_PARTITIONS = both "finished/partitions",
    FINISHED_PURGE = both "finished/purge",
    FINISHED_REMOVE = both "finished/remove",
    FIRES_ADD = common "fires/add",
    FIRES_FINISHED_RUNS = common "fires/finished_runs",
    FIRES_OF = common "fires/of",
    FIRES_OF_RUN = common "fires/of_run",
    FIRES_PENDING = common "fires/pending",
    FIRES_SETTLE = common "fires/settle",
    FIRES_SWEEP = common "fires/sweep",
    FLOWS_GET = common "flows/get",
    FLOWS_SET = common "flows/set",
    LEADERS_LEAD = common "leaders/lead",
    LEADERS_LIST = common "leaders/list",
    LEADERS_LOCK = both "leaders/lock",
    LEADERS_MOVE = common "leaders/move",
    LEADERS_RESIGN = common "leaders/resign",
    LEADERS_RESIGN_NODE = common "leaders/resign_node",
    LEASES_BACK = both "leases/back",
    LEASES_BEAT = both "leases/beat",
    LEASES_BY_WORKER = common "leases/by_worker",
    LEASES_EXPIRED = both "leases/expired",
    LEASES_GATE = common "leases/gate",
    LEASES_GET = common "leases/get",
    LEASES_HOLD = both "leases/hold",
    LEASES_INTERRUPT = both "leases/interrupt",
    LEASES_INTERRUPTED = common "leases/interrupted",
    LEASES_INTERRUPT_TASK = common "leases/interrupt_task",
    LEASES_LOCK_RUNS = both "leases/lock_runs",
    LEASES_OF_NODE = both "leases/of_node",
    LEASES_OF_WORKER = both "leases/of_worker",
    LEASES_RECORD = both "leases/record",
    LEASES_REMOVE = both "leases/remove",
    LEASES_SET_AFFINITY = common "leases/set_affinity",
    LEASES_SUCCEED = both "leases/succeed",
    LIMITS_ADD = common "limits/add",
    LIMITS_FORGET = common "limits/forget",
    LIMITS_LOCK = both "limits/lock",
    LIMITS_PUT = common "limits/put",
    LOGINS_ADD = common "logins/add",
    LOGINS_REDEEM = common "logins/redeem",
    LOGINS_SESSION_ADD = common "logins/session_add",
    LOGINS_SESSION_BY_HASH = common "logins/session_by_hash",
    LOGINS_SESSION_END = common "logins/session_end",
    LOGINS_SESSION_SWEEP = common "logins/session_sweep",
    LOGINS_SWEEP = common "logins/sweep",
    PATCHES_GET = common "patches/get",
    PATCHES_PUT = common "patches/put",
    QUEUE_ADD = both "queue/add",
    QUEUE_ADD_OF_RUN = both "queue/add_of_run",
    QUEUE_BLOCKED = common "queue/blocked",
    QUEUE_GET = common "queue/get",
    QUEUE_HEAD = common "queue/head",
    QUEUE_HOLD = both "queue/hold",
    QUEUE_LOCK_RUNS = both "queue/lock_runs",
    QUEUE_NEXT_READY = common "queue/next_ready",
    QUEUE_PROMOTE = both "queue/promote",
    QUEUE_RECORD = both "queue/record",
    QUEUE_REMOVE = both "queue/remove",
    QUEUE_SET_AFFINITY = common "queue/set_affinity",
    QUEUE_STATS = common "queue/stats",
    QUEUE_TAKE = both "queue/take",
    QUEUE_UNBLOCK = both "queue/unblock",
    QUEUE_WAITING_OF_CLASS = common "queue/waiting_of_class",
    QUEUE_WAITING_OF_PRIORITY = common "queue/waiting_of_priority",
    QUEUE_WAKE = both "queue/wake",
    QUEUE_WITHDRAW = both "queue/withdraw",
    RUNS_AFFINITY = common "runs/affinity",
    RUNS_BY_KEY = common "runs/by_key",
    RUNS_COUNTS = common "runs/counts",
    RUNS_INSERT = common "runs/insert",
    RUNS_INSERT_KEY = common "runs/insert_key",
    RUNS_INSERT_WORKFLOW = common "runs/insert_workflow",
    RUNS_LIST = both "runs/list",
    RUNS_LOAD = both "runs/load",
    RUNS_LOCK = both "runs/lock",
    RUNS_OWNERLESS = common "runs/ownerless",
    RUNS_PUT_ATTEMPTS = both "runs/put_attempts",
    RUNS_PUT_REPAIRS = both "runs/put_repairs",
    RUNS_PUT_STEPS = both "runs/put_steps",
    RUNS_SET_AFFINITY = common "runs/set_affinity",
    RUNS_UPDATE = both "runs/update",
    SCHEDULES_ADD = common "schedules/add",
    SCHEDULES_DECIDE = common "schedules/decide",
    SCHEDULES_DUE = common "schedules/due",
    SCHEDULES_GET = common "schedules/get",
    SCHEDULES_LIST = common "schedules/list",
    SCHEDULES_OPEN_RUNS = common "schedules/open_runs",
    SCHEDULES_PAUSE = common "schedules/pause",
    SCHEDULES_REMOVE = common "schedules/remove",
    SCHEDULES_RESUME = common "schedules/resume",
    SCHEDULES_UPDATE = common "schedules/update",
    SCHEMA_APPLIED = common "schema/applied",
    SCHEMA_EXISTS = both "schema/exists",
    SCHEMA_PROBE = common "schema/probe",
    SCHEMA_RECORD = common "schema/record",
    TASK_KEYS_ADD = both "task_keys/add",
    TASK_KEYS_FORGET = common "task_keys/forget",
    TASK_KEYS_FREE = both "task_keys/free",
    TASK_KEYS_GET = common "task_keys/get",
    TASK_KEYS_POINT = common "task_keys/point",
    TOKENS_ADD = common "tokens/add",
    TOKENS_BY_HASH = common "tokens/by_hash",
    TOKENS_LIST = common "tokens/list",
    TOKENS_REVOKE = common "tokens/revoke",
    TOKENS_USED = common "tokens/used",
    TRIGGERS_ADD = common "triggers/add",
    TRIGGERS_GET = common "triggers/get",
    TRIGGERS_LIST = common "triggers/list",
    TRIGGERS_MATCHING = common "triggers/matching",
    TRIGGERS_PAUSE = common "triggers/pause",
    TRIGGERS_REMOVE = common "triggers/remove",
    WORKERS_END = common "workers/end",
    WORKERS_END_ALL = common "workers/end_all",
    WORKERS_FORGET = common "workers/forget",
    WORKERS_GONE = common "workers/gone",
    WORKERS_LIST = common "workers/list",
    WORKERS_SEEN = common "workers/seen",
    WORKFLOWS_ADD_VERSION = common "workflows/add_version",
    WORKFLOWS_CHOOSE = common "workflows/choose",
    WORKFLOWS_LAST_VERSION = common "workflows/last_version",
    WORKFLOWS_LOCK = both "workflows/lock",
    WORKFLOWS_NAMED = common "workflows/named",
    WORKFLOWS_NAMES = common "workflows/names",
    WORKFLOWS_UNCHOOSE = common "workflows/unchoose",
    WORKFLOWS_VERSIONS = common "workflows/versions",
    WORKFLOWS_VERSION_BY_DIGEST = common "workflows/version_by_digest",
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use sqlx::{Connection, Executor, SqlSafeStr};

    use super::*;

    fn listed(folder: &str) -> BTreeSet<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql").join(folder);
        let entries =
            |path: &Path| std::fs::read_dir(path).expect("the folder is there").map(|e| e.expect("readable").path());
        let files = entries(&root).flat_map(|group| entries(&group).collect::<Vec<_>>());
        let name = |file: &Path| file.strip_prefix(&root).expect("below").with_extension("").display().to_string();
        files.map(|file| name(&file)).collect()
    }

    fn declared(place: &str) -> BTreeSet<String> {
        ALL.iter().filter(|(of, _, _)| *of == place).map(|(_, name, _)| (*name).to_owned()).collect()
    }

    #[test]
    fn every_file_is_declared_and_both_dialects_have_the_same() {
        assert_eq!(listed("common"), declared("common"));
        assert_eq!(listed("sqlite"), declared("both"));
        assert_eq!(listed("postgres"), declared("both"));
        for (place, name, sql) in ALL {
            assert_eq!(sql.sqlite == sql.postgres, *place == "common", "{name} is in the wrong place");
        }
    }

    #[tokio::test]
    async fn every_statement_prepares_on_sqlite() {
        let mut connection = sqlx::SqliteConnection::connect("sqlite::memory:").await.expect("memory is there");
        for (_, migration) in crate::migrate::MIGRATIONS {
            connection.execute(sqlx::raw_sql(migration.sqlite)).await.expect("the schema is good");
        }
        connection.execute(sqlx::raw_sql(crate::migrate::RECORDS.sqlite)).await.expect("so are the records");
        for (_, name, sql) in ALL {
            let prepared = (&mut connection).prepare(sql.sqlite.into_sql_str()).await;
            assert!(prepared.is_ok(), "{name}: {:?}", prepared.map(drop));
        }
    }

    #[tokio::test]
    async fn every_statement_prepares_on_postgres() {
        let Ok(url) = std::env::var("MB_TEST_POSTGRES") else { return };
        let mut connection = sqlx::PgConnection::connect(&url).await.expect("MB_TEST_POSTGRES is a database");
        // Everything happens in a transaction that is never committed.
        connection
            .execute("BEGIN; CREATE SCHEMA mb_prepare; SET LOCAL search_path TO mb_prepare")
            .await
            .expect("begun");
        for (_, migration) in crate::migrate::MIGRATIONS {
            connection.execute(sqlx::raw_sql(migration.postgres)).await.expect("the schema is good");
        }
        connection.execute(sqlx::raw_sql(crate::migrate::RECORDS.postgres)).await.expect("so are the records");
        for (_, name, sql) in ALL {
            let prepared = (&mut connection).prepare(sql.postgres.into_sql_str()).await;
            assert!(prepared.is_ok(), "{name}: {:?}", prepared.map(drop));
        }
    }
}
