import { HttpRequests } from './http-requests';

const TRAFFIC = Buffer.from(
  'GET /state HTTP/1.1\r\nhost: a\r\n\r\n' +
    'POST /receipts HTTP/1.1\r\nContent-Length: 10\r\n\r\na\r\n\r\nGET b' +
    'POST /lease HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n',
);

describe('the reader of HTTP requests', () => {
  it('reads the same however they are split or glued', () => {
    const whole = [
      { method: 'GET', path: '/state', body: Buffer.alloc(0) },
      { method: 'POST', path: '/receipts', body: Buffer.from('a\r\n\r\nGET b') },
      { method: 'POST', path: '/lease', body: Buffer.alloc(0) },
    ];
    for (const size of [1, 2, 7, TRAFFIC.length]) {
      const requests = new HttpRequests();
      const read = [];
      for (let at = 0; at < TRAFFIC.length; at += size)
        read.push(...requests.push(TRAFFIC.subarray(at, at + size)));
      expect(read).toEqual(whole);
    }
  });

  it('gives up on what it cannot read, and says nothing of it', () => {
    const requests = new HttpRequests();
    const chunked = 'POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n';
    expect(requests.push(Buffer.from(chunked))).toEqual([]);
    expect(requests.push(Buffer.from('GET /b HTTP/1.1\r\n\r\n'))).toEqual([]);
  });
});
