/**
 * The `iss` of every token: what is configured, else what the first start settled in the database, which is the URL that
 * it listened on. Tokens stay valid when the port changes.
 */
export class Issuer {
  private value: string | undefined;

  get url(): string {
    if (this.value === undefined)
      throw new Error('the issuer is asked for before the boot has settled it');
    return this.value;
  }

  settle(url: string): void {
    this.value = url;
  }
}
