import { ProblemError } from '@sever/protocol';
import type { UrlUpstream } from '../sidecar-file';

/**
 * Where an upstream's redirect leads, as a path of the sidecar. The sidecar follows none itself, and lets none lead the
 * agent, and what it carries, to anywhere else.
 *
 * @param location as the upstream wrote it
 * @param target path and query that the redirect answers, below the upstream's url
 * @throws ProblemError `upstream_unreachable`
 */
export function ownLocation(upstream: UrlUpstream, location: string, target: string): string {
  const base = baseOf(upstream);
  const asked = `${base.origin}${base.path}${target}`;
  const to = URL.canParse(location, asked) ? new URL(location, asked) : undefined;
  const isOwn =
    to?.origin === base.origin &&
    to.username === '' &&
    to.password === '' &&
    to.pathname.startsWith(`${base.path}/`);
  if (to === undefined || !isOwn) {
    const detail = `The upstream ${upstream.name} redirects to another place than its own`;
    throw new ProblemError('upstream_unreachable', detail);
  }
  return `/${upstream.name}${to.pathname.slice(base.path.length)}${to.search}${to.hash}`;
}

/** Origin and path of an upstream's url, the path without a slash at its end. */
export function baseOf({ url }: UrlUpstream): { readonly origin: string; readonly path: string } {
  const { origin, pathname } = new URL(url);
  return { origin, path: pathname.endsWith('/') ? pathname.slice(0, -1) : pathname };
}
