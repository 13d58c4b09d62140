import { execFile } from 'node:child_process'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
// Plain JavaScript, shared with the setup that runs before anything is installed.
import { resolveKafkaJars } from '../../deploy/kafka/resolve.mjs'

const root = resolve(import.meta.dirname, '../..')
const toolDeadlineMs = 60_000

/** Changes one setting of a topic from outside, as an operator's mistake would: by Kafka's own tool. */
export async function alterTopic(
  broker: string,
  topic: string,
  setting: { readonly name: string; readonly value: string },
): Promise<void> {
  const { classpathDirectory } = await resolveKafkaJars({ root, log: () => undefined })
  const java = [
    '-Xmx128m',
    '-XX:TieredStopAtLevel=1',
    '-XX:+UseSerialGC',
    '-cp',
    join(classpathDirectory, '*'),
  ]
  const place = ['--bootstrap-server', broker, '--entity-type', 'topics', '--entity-name', topic]
  const change = ['--alter', '--add-config', `${setting.name}=${setting.value}`]
  await promisify(execFile)('java', [...java, 'kafka.admin.ConfigCommand', ...place, ...change], {
    timeout: toolDeadlineMs,
  })
}
