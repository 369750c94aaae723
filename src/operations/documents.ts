import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { asyncApiDocument } from '@sever/protocol';
import { cleanupOpenApiDoc } from 'nestjs-zod';
import { describeAnswers } from './openapi-answers';

/** The OpenAPI document, from the same schemas that validate requests. */
export function openApiDocument(app: NestFastifyApplication): OpenAPIObject {
  const builder = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Sever')
    .setDescription('A revocation control plane for AI agents with real-time fan-out.')
    .setVersion('0.1.0')
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'An API key or an agent token.' })
    .addSecurityRequirements('bearer');
  const document = SwaggerModule.createDocument(app, builder.build());
  return describeAnswers(cleanupOpenApiDoc(document, { version: '3.1' }));
}

/** `/openapi.json`, `/docs` and `/asyncapi.json`. */
export function serveDocuments(app: NestFastifyApplication): void {
  SwaggerModule.setup('docs', app, () => openApiDocument(app), {
    jsonDocumentUrl: 'openapi.json',
    yamlDocumentUrl: 'openapi.yaml',
  });
  const asyncApi = JSON.stringify(asyncApiDocument());
  app
    .getHttpAdapter()
    .getInstance()
    .get('/asyncapi.json', (_, reply) =>
      reply.type('application/json; charset=utf-8').send(asyncApi),
    );
}
