import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const readDeadlineMs = 60_000

export interface KcatMessage {
  readonly key: string
  readonly value: Buffer
}

/** Everything a topic holds now, as kcat shows it: a client that knows nothing of us. */
export async function readWithKcat(broker: string, topic: string): Promise<readonly KcatMessage[]> {
  const format = '%K %k%R%s'
  const args = ['-b', broker, '-C', '-t', topic, '-o', 'beginning', '-e', '-q', '-f', format]
  const options = { encoding: 'buffer', timeout: readDeadlineMs, maxBuffer: 256 << 20 } as const
  const { stdout } = await promisify(execFile)('kcat', args, options)
  const messages: KcatMessage[] = []
  for (let at = 0; at < stdout.length;) {
    const keyAt = stdout.indexOf(' ', at) + 1
    const sizeAt = keyAt + Number(stdout.toString('latin1', at, keyAt))
    const valueAt = sizeAt + 4
    at = valueAt + stdout.readInt32BE(sizeAt)
    messages.push({ key: stdout.toString('utf8', keyAt, sizeAt), value: stdout.subarray(valueAt, at) })
  }
  return messages
}
