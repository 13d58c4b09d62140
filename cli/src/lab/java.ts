import { join } from 'node:path'
import { type JavaRuntime, kafkaTemplates } from '@blockferry/supervision'
import { fault } from '../faults.ts'
import { repositoryRoot } from './repository.ts'

/** The part of deploy/kafka/resolve.mjs used here; plain JavaScript, because setup runs it on Node 20. */
interface JarResolver {
  resolveKafkaJars(options: {
    readonly root: string
    readonly log?: (line: string) => void
  }): Promise<{ readonly classpathDirectory: string }>
}

/** @throws KAFKA_MISSING */
export async function findJava(log: (line: string) => void): Promise<JavaRuntime> {
  const specifier: string = join(kafkaTemplates, 'resolve.mjs')
  const resolver = (await import(specifier)) as JarResolver
  try {
    const { classpathDirectory } = await resolver.resolveKafkaJars({ root: repositoryRoot, log })
    const home = process.env['JAVA_HOME']
    const command = home === undefined || home === '' ? 'java' : join(home, 'bin', 'java')
    return { command, classPath: join(classpathDirectory, '*') }
  } catch (cause) {
    throw fault('KAFKA_MISSING', cause instanceof Error ? cause.message : 'no Kafka jars', { cause })
  }
}
