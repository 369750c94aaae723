import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What API keys and enrolment keys have in common. */
abstract class SecretKeyColumns {
  @PrimaryColumn('text') tenant: string;
  @PrimaryColumn('text') id: string;
  @Column('text') name: string;
  @Column('bytea') hash: Buffer;
  @Column('timestamptz', { name: 'created_at', default: () => 'now()' }) createdAt: Date;
  @Column('timestamptz', { name: 'expires_at' }) expiresAt: Date;
  @Column('timestamptz', { name: 'last_used_at', nullable: true }) lastUsedAt: Date | null;
  @Column('timestamptz', { name: 'revoked_at', nullable: true }) revokedAt: Date | null;
}

@Entity('api_key')
export class ApiKeyEntity extends SecretKeyColumns {
  @Column('text', { name: 'principal_id' }) principalId: string;
  @Column('text') role: string;
}

@Entity('enrolment_key')
export class EnrolmentKeyEntity extends SecretKeyColumns {}

@Entity('principal')
export class PrincipalEntity {
  @PrimaryColumn('text') tenant: string;
  @PrimaryColumn('text') id: string;
  @Column('text') role: string;
  @Column('text') name: string;
}
