/** The sidecar cannot start or go on; the message is for the operator and says what to do. */
export class SidecarError extends Error {
  override readonly name = 'SidecarError';
}
