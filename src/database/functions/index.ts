import { appendSql } from './append.sql';
import { auditSql } from './audit.sql';
import { credentialSql } from './credential.sql';
import { denialSql } from './denial.sql';
import { fenceSql } from './fence.sql';
import { mintSql } from './mint.sql';
import { rehearseSql } from './rehearse.sql';
import { revokeSql } from './revoke.sql';
import { spawnSql } from './spawn.sql';

/** Every function of the database, in an order in which each finds those it calls. */
export const FUNCTIONS: readonly string[] = [
  ...fenceSql,
  ...denialSql,
  ...auditSql,
  ...credentialSql,
  ...appendSql,
  ...spawnSql,
  ...mintSql,
  ...revokeSql,
  ...rehearseSql,
];
