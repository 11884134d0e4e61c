# Two images: `docker build --target services .` runs every service and worker, `--target operator` the operator.
# No BuildKit is needed. A mirror of the package index: --build-arg PIP_INDEX_URL=…

ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL
WORKDIR /app
# Wheels alone: nothing is compiled, and nothing that is not in the lock gets in. Of the viewers in offapi, /docs uses one.
COPY requirements/services.txt requirements/operator.txt requirements/
RUN for image in services operator; do \
      python -m venv --without-pip /opt/$image \
      && python -m pip --python /opt/$image/bin/python install --no-cache-dir --disable-pip-version-check --no-deps \
           --only-binary :all: --require-hashes -r requirements/$image.txt \
      || exit 1; \
    done \
    && rm /opt/services/lib/python3*/site-packages/offapi/redoc.js /opt/services/lib/python3*/site-packages/offapi/scalar.js
# The services' code, and of it for the operator the generated contract alone. Compiled here: the images are read-only.
COPY services services-code/services
COPY operator/checkout_operator operator-code/checkout_operator
RUN mkdir operator-code/services && cp -r services-code/services/__init__.py services-code/services/pb operator-code/services \
    && python -m compileall -q services-code operator-code

# What both images have: a Python without pip, a user of its own, and no more.
FROM ${PYTHON_IMAGE} AS base
RUN rm -rf "$(python -c 'import pip; print(*pip.__path__)')" /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* /usr/bin/pip* \
    && echo 'cartwright:x:10001:10001::/nonexistent:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'cartwright:x:10001:' >> /etc/group
WORKDIR /app
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 APP_ENV=production
USER 10001:10001
LABEL org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.vendor="Cartwright"

FROM base AS services
COPY --from=build /opt/services /opt/services
COPY --from=build /app/services-code /app
COPY LICENSE /app/
ENV PATH=/opt/services/bin:$PATH
ENTRYPOINT ["python", "-m"]
CMD ["services.gateway.main"]
ARG VERSION=0.0.0-dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Cartwright services" \
      org.opencontainers.image.description="Every service and worker of the checkout" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

FROM base AS operator
COPY --from=build /opt/operator /opt/operator
COPY --from=build /app/operator-code /app
COPY LICENSE /app/
ENV PATH=/opt/operator/bin:$PATH
ENTRYPOINT ["python", "-m", "checkout_operator.main"]
ARG VERSION=0.0.0-dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Cartwright operator" \
      org.opencontainers.image.description="Turns Checkout resources into checkouts, and shows every checkout" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
