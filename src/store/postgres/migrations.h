/* migrations: the numbered SQL files of sql/, embedded. Migration n (from 1) brings the schema from
 * version n - 1 to n. Within a major version they only expand . Each file
 * writes its version, and the least binary the schema then serves, to meta itself. */
#ifndef RESPGRES_STORE_POSTGRES_MIGRATIONS_H
#define RESPGRES_STORE_POSTGRES_MIGRATIONS_H

extern const char *const migrations[];
extern const int migration_count;

#endif
