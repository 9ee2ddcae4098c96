-- A database of schema 3, as the version that had it wrote it. Never changed.
PRAGMA application_id = 1349480018;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE associations (
        id TEXT PRIMARY KEY, calling_ae_title TEXT NOT NULL, called_ae_title TEXT NOT NULL,
        address TEXT NOT NULL, listener TEXT NOT NULL, tls_subject TEXT, started_at REAL NOT NULL,
        ended_at REAL, ending TEXT
    ) WITHOUT ROWID;
INSERT INTO "associations" VALUES('a1','MODALITY','STORESCP','192.0.2.7','104',NULL,1700000000.0,NULL,NULL);
CREATE TABLE commitment_requests (
        transaction_uid TEXT PRIMARY KEY, destination TEXT NOT NULL, asked_at REAL NOT NULL
    ) WITHOUT ROWID;
CREATE TABLE commitments (
        number INTEGER PRIMARY KEY AUTOINCREMENT, transaction_uid TEXT NOT NULL,
        calling_ae_title TEXT NOT NULL, called_ae_title TEXT NOT NULL, address TEXT NOT NULL,
        requested TEXT NOT NULL, result TEXT, asked_at REAL NOT NULL, attempts INTEGER NOT NULL,
        next_at REAL NOT NULL, reported_at REAL, state TEXT NOT NULL
            CHECK (state IN ('asked', 'reported', 'given_up'))
    );
INSERT INTO "commitments" VALUES(1,'1.2.9','MODALITY','STORESCP','192.0.2.7','[]',NULL,1700000000.0,0,1700000000.0,NULL,'asked');
CREATE TABLE deliveries (
        number INTEGER NOT NULL, destination TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN
            ('waiting', 'sending', 'sent', 'committed', 'refused', 'given_up', 'skipped')),
        priority INTEGER NOT NULL, part INTEGER, status INTEGER, detail TEXT NOT NULL DEFAULT '',
        attempts INTEGER NOT NULL DEFAULT 0, failing_since REAL, unclear INTEGER NOT NULL DEFAULT 0,
        next_at REAL NOT NULL DEFAULT 0, planned_at REAL NOT NULL, sent_at REAL, sent_as TEXT,
        wants_commitment INTEGER NOT NULL, transaction_uid TEXT, committed_at REAL,
        PRIMARY KEY (number, destination)
    ) WITHOUT ROWID;
INSERT INTO "deliveries" VALUES(1,'archive','refused',5,0,43264,'refused',3,NULL,0,0.0,1700000000.5,NULL,NULL,1,NULL,NULL);
INSERT INTO "deliveries" VALUES(1,'pacs','waiting',5,1,NULL,'',0,NULL,0,0.0,1700000000.5,NULL,NULL,0,NULL,NULL);
INSERT INTO "deliveries" VALUES(2,'pacs','sent',5,1,0,'',1,NULL,0,0.0,1700000000.5,1700000001.0,NULL,0,NULL,NULL);
CREATE TABLE delivery_positions (
        destination TEXT PRIMARY KEY, number INTEGER NOT NULL, active INTEGER NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "delivery_positions" VALUES('pacs',2,1);
CREATE TABLE instances (
        number INTEGER PRIMARY KEY AUTOINCREMENT, sop_instance_uid TEXT NOT NULL,
        sop_class_uid TEXT NOT NULL, transfer_syntax_uid TEXT NOT NULL, study_instance_uid TEXT NOT NULL,
        series_instance_uid TEXT NOT NULL, modality BLOB, sha256 BLOB NOT NULL, size_bytes INTEGER NOT NULL,
        dataset_start INTEGER NOT NULL, place TEXT NOT NULL, notes TEXT NOT NULL, association_id TEXT,
        source_ae_title TEXT, received_at REAL NOT NULL, durable_at REAL NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('kept', 'removed', 'missing'))
    );
INSERT INTO "instances" VALUES(1,'1.2.3.4','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','1.2.3','1.2.3.1',X'4354',X'000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F',1000,300,'0/a.dcm','','a1','MODALITY',1700000000.0,1700000000.1,'kept');
INSERT INTO "instances" VALUES(2,'1.2.3.5','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','1.2.3','1.2.3.1',X'4354',X'000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F',1000,300,'0/b.dcm','','a1','MODALITY',1700000000.0,1700000000.1,'removed');
CREATE TABLE organised (
        number INTEGER PRIMARY KEY, study_instance_uid TEXT NOT NULL, part INTEGER NOT NULL,
        file TEXT COLLATE NOCASE, confirmed_at REAL
    );
INSERT INTO "organised" VALUES(1,'1.2.3',1,'CT.1.2.3.4.dcm',NULL);
INSERT INTO "organised" VALUES(2,'1.2.3',1,NULL,1700000001.0);
CREATE TABLE positions (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "positions" VALUES('organised',2);
CREATE TABLE quarantined (
        id TEXT PRIMARY KEY, reason TEXT NOT NULL, sha256 TEXT, sop_instance_uid TEXT NOT NULL,
        association_id TEXT, status INTEGER NOT NULL, received_at REAL NOT NULL
    );
INSERT INTO "quarantined" VALUES('q1','NO_PIXEL_DATA',NULL,'1.2.3.6','a1',43264,1700000000.0);
CREATE TABLE studies (
        study_instance_uid TEXT PRIMARY KEY, character_set BLOB, patient_id BLOB, patient_name BLOB,
        study_date BLOB, study_time BLOB, accession_number BLOB, study_description BLOB,
        first_received_at REAL NOT NULL, last_received_at REAL NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "studies" VALUES('1.2.3',NULL,X'43414E4152592D49442D31',X'43414E4152494F5E436F6E63656963616F',X'3230323630313232',NULL,NULL,NULL,1700000000.0,1700000000.0);
CREATE TABLE study_folders (
        study_instance_uid TEXT PRIMARY KEY, folder TEXT, folder_key TEXT UNIQUE,
        image_count INTEGER NOT NULL, sent INTEGER NOT NULL, entry TEXT NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "study_folders" VALUES('1.2.3','20231114_221320_CANARY-ID-1_CANARIO_Conceicao','20231114_221320_canary-id-1_canario_conceicao',2,0,'{"folder":"20231114_221320_CANARY-ID-1_CANARIO_Conceicao","sent":false}');
CREATE TABLE study_parts (
        study_instance_uid TEXT NOT NULL, part INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'complete')), opened_at REAL NOT NULL,
        completed_at REAL, completed_by TEXT, completion INTEGER UNIQUE,
        PRIMARY KEY (study_instance_uid, part)
    ) WITHOUT ROWID;
INSERT INTO "study_parts" VALUES('1.2.3',1,'complete',1700000000.0,1700000060.0,'association',1);
CREATE TABLE upload_parts (
        upload_id TEXT NOT NULL, number INTEGER NOT NULL, etag TEXT NOT NULL, sha256 TEXT NOT NULL,
        PRIMARY KEY (upload_id, number)
    ) WITHOUT ROWID;
INSERT INTO "upload_parts" VALUES('upload-1',1,'etag','00');
CREATE TABLE uploads (
        destination TEXT NOT NULL, study_instance_uid TEXT NOT NULL, part INTEGER NOT NULL,
        object_key TEXT NOT NULL, part_bytes INTEGER NOT NULL, upload_id TEXT NOT NULL,
        PRIMARY KEY (destination, study_instance_uid, part)
    ) WITHOUT ROWID;
INSERT INTO "uploads" VALUES('cloud','1.2.3',1,'inbox/abc-1-def.zip',8388608,'upload-1');
CREATE UNIQUE INDEX kept_instances ON instances (sop_instance_uid) WHERE state = 'kept';
CREATE INDEX former_instances ON instances (sop_instance_uid) WHERE state <> 'kept';
CREATE INDEX instances_of_study ON instances (study_instance_uid);
CREATE INDEX open_commitments ON commitments (next_at) WHERE state = 'asked';
CREATE INDEX quarantined_instances ON quarantined (sop_instance_uid);
CREATE UNIQUE INDEX organised_files ON organised (study_instance_uid, file) WHERE file IS NOT NULL;
CREATE INDEX organised_parts ON organised (study_instance_uid, part);
CREATE INDEX linked ON organised (number) WHERE file IS NOT NULL;
CREATE INDEX unconfirmed ON organised (number) WHERE confirmed_at IS NULL;
CREATE INDEX unconfirmed_of_study ON organised (study_instance_uid) WHERE confirmed_at IS NULL;
CREATE INDEX removable ON organised (confirmed_at) WHERE confirmed_at IS NOT NULL AND file IS NOT NULL;
CREATE UNIQUE INDEX open_parts ON study_parts (study_instance_uid) WHERE state = 'open';
CREATE INDEX open_associations ON associations (id) WHERE ended_at IS NULL;
CREATE INDEX waiting_deliveries ON deliveries (destination, priority, number, next_at)
        WHERE state = 'waiting' AND part IS NOT NULL;
CREATE INDEX open_deliveries ON deliveries (destination, number, state)
        WHERE state IN ('waiting', 'sending', 'refused', 'given_up');
CREATE INDEX uncommitted_deliveries ON deliveries (destination, transaction_uid, sent_at)
        WHERE state = 'sent' AND wants_commitment = 1;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('commitments',1);
INSERT INTO "sqlite_sequence" VALUES('instances',2);
COMMIT;
